package dispatch

// CheckBody refuses the body of a service that can be seen to be wrong without
// values: Invalid, blaming body. Saving checks the same; this is for those who
// want to know before anything is saved.
func (d *Dispatcher) CheckBody(body string) error { return checkBody(body) }
