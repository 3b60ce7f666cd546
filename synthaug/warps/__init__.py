"""Diffeomorphic warps of label maps and images: random ones, and ventricles taken to a volume."""
