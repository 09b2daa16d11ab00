"""``python -m face_detection``, from the folder above."""

from face_detection.run import main

if __name__ == "__main__":  # worker processes import this module too
    main()
