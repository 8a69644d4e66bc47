"""Turns logs into example sets (an Apache Beam job). Importing this loads no Beam."""
