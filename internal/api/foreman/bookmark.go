package foreman

func bookmarkRoutes() []route { return nil }
