"""What others wrote or say: files, stores, boards and networks that are hostile get nothing."""
