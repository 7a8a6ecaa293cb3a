"""Runs an untrusted program with limits on time, CPU, memory and output."""
