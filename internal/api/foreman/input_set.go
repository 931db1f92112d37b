package foreman

func inputSetRoutes() []route { return nil }
