package foreman

func inputRoutes() []route { return nil }
