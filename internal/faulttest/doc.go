// Package faulttest breaks what is below the tasks and looks at what is left. It
// holds tests only: several processes as in the cloud (each call of a task is made
// by one of its own, which may die), one table and one bucket between them, a
// sweeper, and devices that count the commands that they start.
//
// Faults are injected at the drivers: a request to the table that is throttled,
// before or after it was carried out, is seen by the tasks as it would be from
// AWS. scripts/test-faults prints the table of what was injected and what came
// of it.
package faulttest
