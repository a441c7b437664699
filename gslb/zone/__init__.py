"""What operators write: the YAML and master files of `zones/`, read, checked and turned into `gslb.model`."""
