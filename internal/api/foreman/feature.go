package foreman

func featureRoutes() []route { return nil }
