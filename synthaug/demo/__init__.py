"""The parts of ``synthaug demo``: stand-in cases, nnU-Net's commands, and what came of them."""
