# rejected no-answer

