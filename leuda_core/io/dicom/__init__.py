"""DICOM: recognised by content, headers with pydicom, compressed pixels decoded in a child process."""
