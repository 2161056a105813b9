// Package errors holds the one error type that flannel asks for by name.
package errors

// TencentCloudSDKError is the error that the backend tells apart from others.
type TencentCloudSDKError struct{ Message string }

// Error makes it an error.
func (e *TencentCloudSDKError) Error() string { return e.Message }
