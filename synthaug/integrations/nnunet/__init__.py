"""nnU-Net v2: trainers that mix synthetic cases into training, and what prepares for them."""
