"""All that touches the world: providers, client languages, connections, the control plane, the store."""
