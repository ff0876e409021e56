"""Methods that move labelled source slices onto target slices."""
