"""Studies of what synthetic cases are worth: strategies, segmenters and generators compared on real test cases."""
