package foreman

func templateRoutes() []route { return nil }
