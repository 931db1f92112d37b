// Package samtest proves `make sam-invoke`: its test, which needs containers and
// is run by scripts/test-cloud, calls real functions of the synthesised template.
package samtest
