"""Training of generators: cases placed on the generator's grid, augmented, and four networks fitted in turn."""
