"""HTTP to a platform: the only importer of httpx."""
