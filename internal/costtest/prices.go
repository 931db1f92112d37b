// Package costtest counts what a run of devices uses in the cloud, and prices it.
// The counting runs the real tasks over the cloud's driver of the store and
// watches every request; the table of prices is below, dated, and the only one.
package costtest

// PricesAsOf is when the list prices below were last changed by a published
// announcement that this table follows: Lambda has billed its initialisation
// since then, DynamoDB on demand costs half since November 2024.
const PricesAsOf = "August 2025"

// Item is something that AWS counts and charges for.
type Item string

// The items.
const (
	TableWrites     Item = "DynamoDB write request units"
	TableReads      Item = "DynamoDB read request units"
	Transitions     Item = "state transitions"
	ChildStarts     Item = "starts of children by a Distributed Map"
	ExpressRequests Item = "Express executions"
	ExpressDuration Item = "Express GB-seconds"
	Invocations     Item = "Lambda invocations"
	Compute         Item = "Lambda GB-seconds"
	ObjectWrites    Item = "S3 PUT"
	ObjectReads     Item = "S3 GET"
	KeyCalls        Item = "KMS calls"
	LogBytes        Item = "log bytes"
	Traces          Item = "X-Ray traces"
	Requests        Item = "HTTP API requests"
	Schedules       Item = "scheduled calls"
	BusEvents       Item = "events on a bus"
)

// Price is what one item costs in us-east-1, in US dollars, before any free tier
// and any discount.
type Price struct {
	Item    Item
	Dollars float64
	Per     float64 // for so many
	Note    string
}

// Prices is the table.
var Prices = []Price{
	{TableWrites, 0.625, 1e6, "on demand; up to 1 KiB, twice in a transaction"},
	{TableReads, 0.125, 1e6, "on demand; 4 KiB read consistently"},
	{Transitions, 0.025, 1e3, "every state entered by a Standard execution or child"},
	{ChildStarts, 0.025, 1e3, "a Distributed Map pays one transition for each child that it starts"},
	{ExpressRequests, 1.00, 1e6, ""},
	{ExpressDuration, 0.00001667, 1, "64 MB, by 100 ms"},
	{Invocations, 0.20, 1e6, ""},
	{Compute, 0.0000133334, 1, "arm64"},
	{ObjectWrites, 0.005, 1e3, ""},
	{ObjectReads, 0.0004, 1e3, ""},
	{KeyCalls, 0.03, 1e4, ""},
	{LogBytes, 0.50, 1 << 30, "CloudWatch Logs, taken in"},
	{Traces, 5.00, 1e6, "recorded"},
	{Requests, 1.00, 1e6, ""},
	{Schedules, 1.00, 1e6, "as EventBridge Scheduler; a rule costs nothing"},
	{BusEvents, 1.00, 1e6, ""},
}

// Usage is how much was used of each item.
type Usage map[Item]float64

// Add adds n times more to the usage.
func (u Usage) Add(more Usage, n float64) {
	for item, count := range more {
		u[item] += n * count
	}
}

// Of is the price of one item of a usage.
func (p Price) Of(u Usage) float64 { return u[p.Item] * p.Dollars / p.Per }

// Total is the price of a usage.
func (u Usage) Total() float64 {
	sum := 0.0
	for _, p := range Prices {
		sum += p.Of(u)
	}
	return sum
}
