package task

// Version is the version of the payloads below. A task refuses a payload of a
// newer version (VersionError) and still reads all older ones, because
// executions are in flight during an upgrade.
const Version = 1

// RunRef is the input of the state machine and of Plan and Finish.
type RunRef struct {
	V      int    `json:"v,omitempty"`
	Tenant string `json:"tenant"`
	Run    string `json:"run"`
}

// The ways to map over units. See Planned.Map.
const (
	MapNone     = "none"     // no unit: straight to Finish
	MapInline   = "inline"   // an inline Map
	MapExpress  = "express"  // a Distributed Map with Express children
	MapStandard = "standard" // a Distributed Map with Standard children
)

// Planned is the output of Plan. It holds nothing that grows with devices but
// the unit numbers, twice at most: well under the 256 KiB that the state machine
// carries. Executions that began before there were batches read Units and
// Concurrency, which mean the same with every map.
type Planned struct {
	V           int    `json:"v"`
	Tenant      string `json:"tenant"`
	Run         string `json:"run"`
	Map         string `json:"map"`
	Units       []int  `json:"units"`       // 0 … n-1
	Concurrency int    `json:"concurrency"` // at least 1

	// The units of a Distributed Map once more: a child takes a batch, Children
	// at once and Inner of each one's units at once.
	Batches  [][]int `json:"batches,omitempty"`
	Children int     `json:"children,omitempty"`
	Inner    int     `json:"inner,omitempty"`
}

// UnitRef is the input of Execute. Round counts the calls for this unit, from 0.
type UnitRef struct {
	V      int    `json:"v,omitempty"`
	Tenant string `json:"tenant"`
	Run    string `json:"run"`
	Unit   int    `json:"unit"`
	Round  int    `json:"round"`
}

// Executed is the output of Execute. With Again the same unit is to be executed
// once more after Wait seconds, with Round one higher.
type Executed struct {
	V      int    `json:"v"`
	Tenant string `json:"tenant"`
	Run    string `json:"run"`
	Unit   int    `json:"unit"`
	Round  int    `json:"round"` // of the next call
	Again  bool   `json:"again"`
	Wait   int    `json:"wait"` // seconds; 1 at least when Again
}

// Finished is the output of Finish. When claims are still live nothing was
// settled and the sweeper comes back at the run's due time.
type Finished struct {
	V       int    `json:"v"`
	Settled bool   `json:"settled"`
	Status  string `json:"status"`
}
