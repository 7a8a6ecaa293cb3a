"""Runs one untrusted parser with bounds on time, CPU, memory and output."""
