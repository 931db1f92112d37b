package foreman

// taskRoutes are the routes of this file's resource.
func taskRoutes() []route { return nil }
