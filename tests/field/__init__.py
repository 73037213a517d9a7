"""What users stumbled over, one file for each theme: inputs as they had them, small."""
