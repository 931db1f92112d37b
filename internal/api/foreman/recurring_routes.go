package foreman

// recurringRoutes are the routes of this file's resource.
func recurringRoutes() []route { return nil }
