package inventory

import "drover/internal/search"

// DeviceFields is what a query can ask of a device. The things that it is asked
// about are job.Device.
func DeviceFields() search.Schema { return nil }
