"""The nnU-Net trainers of synthaug.

Importing this package must stay free of torch and nnunetv2: ``nnunet_trainers.startup`` runs at every start of Python.
"""
