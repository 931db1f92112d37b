package foreman

// invocationRoutes are the routes of this file's resource.
func invocationRoutes() []route { return nil }
