"""What the predicting row attends to: read without a trace, and on demand turned to the image."""
