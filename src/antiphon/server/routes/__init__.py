"""HTTP routes, one module for each group of paths; each exports a `router`."""
