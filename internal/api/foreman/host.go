package foreman

func hostRoutes() []route { return nil }
