"""Log stores and key ring stores, one provider a file. They see ciphertext, tags and digests, never items."""
