"""The contract: what every environment of the package is built on."""
