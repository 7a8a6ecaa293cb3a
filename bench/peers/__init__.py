"""POST /assets/upload-url, written in the usual way with other frameworks. Each file lists what it lacks."""
