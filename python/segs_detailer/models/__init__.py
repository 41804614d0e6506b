"""Models behind one protocol, schedules and samplers."""
