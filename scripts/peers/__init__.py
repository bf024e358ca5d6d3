"""medfocus measured beside other runtimes, on the same graphs in the same minutes."""
