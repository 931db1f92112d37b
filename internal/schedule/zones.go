package schedule

// The names of time zones are data that Lambda's provided.al2023 and small
// containers do not have. They come with the package that cannot do without them.
import _ "time/tzdata"
