"""Engines that are told vectors in plain, under the profile `exposed-vectors`: one provider a file, by its official client."""
