"""The language of the house: values, decisions and the protocol that stages and adapters meet in.

Nothing here touches the world. Floors, imports run down only: config, wiring / ports / protocol, state / values.
"""
