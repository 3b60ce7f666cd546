"""Training loops that draw from synthaug."""
