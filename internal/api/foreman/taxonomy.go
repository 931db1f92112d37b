package foreman

func taxonomyRoutes() []route { return nil }
