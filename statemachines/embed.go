// Package statemachines holds the state machines of the cloud, as the files
// that are deployed. There is no other copy.
package statemachines

import _ "embed"

// Run is the definition of the state machine that carries out one run, in
// Amazon States Language (JSONPath). Its three substitutions, to be filled when
// it is deployed, are ${PlannerFunctionArn}, ${ExecutorFunctionArn} and
// ${FinisherFunctionArn}.
//
//go:embed run.asl.json
var Run string

// Substitutions are the names that a deployment of Run must give values for.
func Substitutions() []string {
	return []string{"PlannerFunctionArn", "ExecutorFunctionArn", "FinisherFunctionArn"}
}
