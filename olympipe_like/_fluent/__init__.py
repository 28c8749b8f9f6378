"""The methods of `Pipeline`, in files by theme: a method is a signature, a short text and one new node."""
