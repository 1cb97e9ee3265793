"""Model bundles: metadata, weights and card in a folder; loading, building the network, writing, installing."""
