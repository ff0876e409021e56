"""NRRD, MetaImage and the header of NIfTI, read without a C++ parser: every number is checked before it is used."""
