"""Tables, plots and pages written from the results."""
