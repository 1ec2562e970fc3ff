"""Networks, their configurations, weights, the registry and the hub. Import the module you need."""
