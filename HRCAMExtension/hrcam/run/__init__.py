"""From a network and a plan to a result: inference, evidence levels, regions, and the result's data classes."""
