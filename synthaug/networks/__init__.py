"""Networks of the generators. MONAI's building blocks; what is written here is how labels and conditions enter."""
